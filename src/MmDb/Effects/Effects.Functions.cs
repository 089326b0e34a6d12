using System.Text;

namespace Leither.MmDb;

/// <content>Function libraries: part of a MiMei's data, of no database in particular.</content>
public sealed unsafe partial class Effects
{
    /// <summary>A library is there with this source, whether it was or not.</summary>
    public void FunctionLoad(string name, byte[] code)
    {
        EffectWriter w = Append(EffectTag.FunctionLoad);
        if (w.IsOn)
        {
            w.Bytes(Encoding.Latin1.GetBytes(name));
            w.Bytes(code);
        }

        _keyspace.Functions.Set(name, code);
        _keyspace.Dirty++;
    }

    /// <summary>A library is not there.</summary>
    public void FunctionDelete(string name)
    {
        EffectWriter w = Append(EffectTag.FunctionDelete);
        if (w.IsOn)
        {
            w.Bytes(Encoding.Latin1.GetBytes(name));
        }

        _keyspace.Functions.Remove(name);
        _keyspace.Dirty++;
    }

    /// <summary>No library is there.</summary>
    public void FunctionFlush()
    {
        Append(EffectTag.FunctionFlush);
        _keyspace.Functions.Clear();
        _keyspace.Dirty++;
    }

    private bool ApplyFunction(ref EffectReader reader, EffectTag tag)
    {
        switch (tag)
        {
            case EffectTag.FunctionLoad:
                string name = ReadLibraryName(ref reader);
                byte* code = reader.Bytes(out int length);
                FunctionLoad(name, new ReadOnlySpan<byte>(code, length).ToArray());
                return true;
            case EffectTag.FunctionDelete:
                FunctionDelete(ReadLibraryName(ref reader));
                return true;
            case EffectTag.FunctionFlush:
                FunctionFlush();
                return true;
            default:
                return false;
        }
    }

    private static string ReadLibraryName(ref EffectReader reader)
    {
        byte* name = reader.Bytes(out int length);
        return Encoding.Latin1.GetString(name, length);
    }
}
