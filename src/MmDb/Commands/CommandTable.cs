using System.Runtime.CompilerServices;
using Leither.Resp;

namespace Leither.MmDb.Commands;

/// <summary>All commands by name, in any case: one probe finds nearly every one.</summary>
public sealed unsafe class CommandTable
{
    private static readonly Lazy<CommandTable> _shared = new(static () => new CommandTable(CommandList.All()));

    private readonly CommandSpec?[] _slots;
    private readonly ulong[] _words;
    private readonly int _mask;
    private readonly CommandSpec[] _all;

    /// <summary>A table of these commands.</summary>
    public CommandTable(IEnumerable<CommandSpec> commands)
    {
        _all = [.. commands.OrderBy(static c => c.Name, StringComparer.Ordinal)];
        int size = 64;
        while (size < _all.Length * 4)
        {
            size *= 2;
        }

        _mask = size - 1;
        _slots = new CommandSpec?[size];
        _words = new ulong[size];
        foreach (CommandSpec spec in _all)
        {
            Prepare(spec);
            byte[] name = System.Text.Encoding.ASCII.GetBytes(spec.Name);
            fixed (byte* p = name)
            {
                ulong word = Word(p, name.Length);
                int slot = SlotOf(word);
                while (_slots[slot] is { } other)
                {
                    if (other.Name == spec.Name)
                    {
                        throw new ArgumentException($"Two commands are named '{spec.Name}'.", nameof(commands));
                    }

                    slot = (slot + 1) & _mask;
                }

                _slots[slot] = spec;
                _words[slot] = word;
            }
        }
    }

    /// <summary>The table of all the commands there are.</summary>
    public static CommandTable Shared => _shared.Value;

    /// <summary>How many 64-bit words hold a bit for each command's <see cref="CommandSpec.Id"/>.</summary>
    internal int BitWords { get; } = (CommandSpec.Count + 63) / 64;

    /// <summary>All top-level commands, by name.</summary>
    public IReadOnlyList<CommandSpec> All => _all;

    /// <summary>A command by its name in any case, or null.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public CommandSpec? Find(Slice name)
    {
        ulong word = Word(name.Pointer, name.Length);
        int slot = SlotOf(word);
        while (_slots[slot] is { } spec)
        {
            if (_words[slot] == word && (name.Length <= 7 || SameName(spec, name)))
            {
                return spec;
            }

            slot = (slot + 1) & _mask;
        }

        return null;
    }

    /// <summary>A command by its name in any case, or null.</summary>
    public CommandSpec? Find(ReadOnlySpan<byte> name)
    {
        fixed (byte* p = name)
        {
            return Find(new Slice(p, name.Length));
        }
    }

    /// <summary>A command or, as in <c>config|get</c>, a subcommand, in any case; or null.</summary>
    public CommandSpec? FindFull(string name)
    {
        int bar = name.IndexOf('|', StringComparison.Ordinal);
        CommandSpec? spec = Find(System.Text.Encoding.Latin1.GetBytes(bar < 0 ? name : name[..bar]));
        return bar < 0 || spec is null ? spec : Array.Find(spec.Subcommands, s => s.Name.Equals(name[(bar + 1)..], StringComparison.OrdinalIgnoreCase));
    }

    /// <summary>The command that words begin with, in any case: of one that has subcommands the one that the second word names, if there is a second. Null: there is none.</summary>
    internal CommandSpec? FindFull(Slice* words, int count)
    {
        CommandSpec? spec = Find(words[0]);
        return spec is { Subcommands.Length: > 0 } && count > 1 ? FindSub(spec, words[1]) : spec;
    }

    /// <summary>A subcommand that is there.</summary>
    internal static CommandSpec FindSub(CommandSpec container, string name) =>
        Array.Find(container.Subcommands, s => s.Name == name) ?? throw new ArgumentException($"{container.Name} has no subcommand {name}.", nameof(name));

    /// <summary>A subcommand by its name in any case, or null.</summary>
    public static CommandSpec? FindSub(CommandSpec container, Slice name)
    {
        foreach (CommandSpec spec in container.Subcommands)
        {
            if (SameName(spec, name))
            {
                return spec;
            }
        }

        return null;
    }

    private static bool SameName(CommandSpec spec, Slice name)
    {
        if (spec.Name.Length != name.Length)
        {
            return false;
        }

        for (int i = 0; i < name.Length; i++)
        {
            byte b = name.Pointer[i];
            if ((b is >= (byte)'A' and <= (byte)'Z' ? b | 0x20 : b) != spec.Name[i])
            {
                return false;
            }
        }

        return true;
    }

    private static void Prepare(CommandSpec spec)
    {
        spec.CategoryBits = AclCategories.BitsOf(spec);
        spec.IsQuick = spec.Has(CommandFlags.Fast) || spec.Complexity is "O(1)";
        foreach (KeySpec key in spec.Keys)
        {
            if (key.Index > 0 && key.Keyword is null && key.KeyNumIndex == -1 && (key.Access & KeyAccess.NotKey) == 0)
            {
                spec.FirstKey = key.Index;
                break;
            }
        }

        foreach (CommandSpec sub in spec.Subcommands)
        {
            sub.Parent = spec;
            Prepare(sub);
        }
    }

    /// <summary>The first seven bytes in lower case and the length: the whole name for most commands.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Word(byte* p, int length)
    {
        ulong word = 0;
        if (length >= 8)
        {
            word = Unsafe.ReadUnaligned<ulong>(p) & 0x00FF_FFFF_FFFF_FFFF;
        }
        else if (length >= 4)
        {
            word = Unsafe.ReadUnaligned<uint>(p) | ((ulong)Unsafe.ReadUnaligned<uint>(p + length - 4) << ((length - 4) * 8));
        }
        else
        {
            for (int i = 0; i < length; i++)
            {
                word |= (ulong)p[i] << (i * 8);
            }
        }

        return Lower(word) | ((ulong)(byte)Math.Min(length, 255) << 56);
    }

    /// <summary>Lower case of the letters among eight ASCII bytes; other bytes stay as they are.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Lower(ulong word)
    {
        const ulong high = 0x8080_8080_8080_8080, ones = 0x0101_0101_0101_0101;
        ulong low = word & ~high;
        ulong fromA = low + ((0x80UL - 'A') * ones), pastZ = low + ((0x80UL - 'Z' - 1) * ones);
        ulong upper = fromA & ~pastZ & ~word & high;
        return word | (upper >> 2);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private int SlotOf(ulong word) => (int)((word * 0x9E37_79B9_7F4A_7C15) >> 40) & _mask;
}
