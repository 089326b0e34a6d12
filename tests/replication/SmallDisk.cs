// A disk that can be full: a tmpfs of a few megabytes, which grows when the test says so.

using System.Globalization;
using Leither.TestKit;

namespace Leither.ReplicationNetwork;

/// <summary>A small file system that lives as long as this object.</summary>
internal sealed class SmallDisk : IDisposable
{
    private readonly TempDir place = new("disk");

    /// <exception cref="InvalidOperationException">Mounting is not allowed here.</exception>
    public SmallDisk(int megabytes)
    {
        try
        {
            Machine.Run("mount", "-t", "tmpfs", "-o", Size(megabytes), "tmpfs", place.Path);
        }
        catch
        {
            place.Dispose();
            throw;
        }
    }

    public string Path => place.Path;

    public long FreeBytes => new DriveInfo(place.Path).AvailableFreeSpace;

    public void Grow(int megabytes) => Machine.Run("mount", "-o", "remount," + Size(megabytes), place.Path);

    public void Dispose()
    {
        // A process that was just killed may hold it for a moment.
        Wait.Until(() =>
        {
            try
            {
                Machine.Run("umount", place.Path);
                return true;
            }
            catch (InvalidOperationException)
            {
                return false;
            }
        });
        place.Dispose();
    }

    private static string Size(int megabytes) => $"size={megabytes.ToString(CultureInfo.InvariantCulture)}m";
}
