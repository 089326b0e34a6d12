namespace Leither.MmDb.Commands;

/// <summary>Finds a command's keys among its words by its key specs: for COMMAND GETKEYS and whoever must know which keys a command touches.</summary>
public static class CommandKeys
{
    /// <summary>Whether a command can have keys at all.</summary>
    public static bool HasKeys(CommandSpec spec) =>
        spec.FindKeys is not null || Array.Exists(spec.Keys, static k => (k.Access & KeyAccess.NotKey) == 0);

    /// <summary>Adds the positions of a command's keys. False: they cannot be told from these words.</summary>
    public static bool TryFind(CommandSpec spec, ArgView words, List<KeyPosition> keys)
    {
        bool flagsVary = Array.Exists(spec.Keys, static k => (k.Access & KeyAccess.VariableFlags) != 0);
        if ((!flagsVary || spec.FindKeys is null) && TryFindBySpecs(spec, words, keys))
        {
            return true;
        }

        keys.Clear();
        return spec.FindKeys is not null && spec.FindKeys(words, keys);
    }

    private static bool TryFindBySpecs(CommandSpec spec, ArgView words, List<KeyPosition> keys)
    {
        foreach (KeySpec key in spec.Keys)
        {
            if ((key.Access & KeyAccess.NotKey) != 0)
            {
                continue;
            }

            if (key.Index < 0 || key.KeyNumIndex == -2)
            {
                return false;
            }

            int first = key.Keyword is null ? key.Index : FindKeyword(key, words);
            if (first == 0)
            {
                // The keyword is not there, and so are its keys.
                continue;
            }

            if (!TryRange(key, words, ref first, out long last) || last >= words.Count || last < first || first >= words.Count)
            {
                return false;
            }

            for (int i = first; i <= last; i += key.Step)
            {
                keys.Add(new KeyPosition(i, key.Access));
            }

            if ((key.Access & KeyAccess.Incomplete) != 0)
            {
                return false;
            }
        }

        return true;
    }

    private static bool TryRange(KeySpec key, ArgView words, ref int first, out long last)
    {
        if (key.KeyNumIndex >= 0)
        {
            last = 0;
            if (first + key.KeyNumIndex >= words.Count || !words[first + key.KeyNumIndex].TryLong(out long count) || count < 0 || count > words.Count)
            {
                return false;
            }

            first += key.FirstKeyOffset;
            last = first + count - 1;
            return true;
        }

        last = key.LastKey >= 0 ? first + key.LastKey
            : key.Limit == 0 ? words.Count + key.LastKey
            : first + ((words.Count - first) / key.Limit) + key.LastKey;
        return true;
    }

    private static int FindKeyword(KeySpec key, ArgView words)
    {
        byte[] keyword = System.Text.Encoding.ASCII.GetBytes(key.Keyword!);
        bool forward = key.StartFrom > 0;
        int start = forward ? key.StartFrom : words.Count + key.StartFrom, end = forward ? words.Count - 1 : 1;
        for (int i = start; i != end && i >= 1 && i < words.Count; i += start <= end ? 1 : -1)
        {
            if (words[i].EqualsIgnoreCase(keyword))
            {
                return i + 1;
            }
        }

        return 0;
    }
}
